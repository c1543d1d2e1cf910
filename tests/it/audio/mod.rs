mod pulse;
