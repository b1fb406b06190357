//! Sessions that run: how long they may, who is told of them, who may end them and have them last
//! longer.

mod keys;
mod lease;
mod matrix;
mod refused;
mod replicas;
mod watched;
mod world;
