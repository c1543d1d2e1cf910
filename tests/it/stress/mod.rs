mod attacks;
mod mixed_load;
