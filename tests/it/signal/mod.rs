pub mod rooms;
mod virtual_rooms;
