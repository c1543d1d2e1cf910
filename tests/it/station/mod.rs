mod broadcast;
mod simulated;
