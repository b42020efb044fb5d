//! The models against other people's work, and the data files against the commands that make them.

mod data;
mod demandlib;
mod pvlib;
mod python;
mod schema;
