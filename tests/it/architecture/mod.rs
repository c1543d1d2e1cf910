mod layers;
mod sizes;
