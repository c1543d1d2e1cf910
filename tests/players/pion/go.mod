module roomtone/players/pion
