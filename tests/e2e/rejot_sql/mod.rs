//! ReJot's SQL: what its authors meant, whatever happens on the way.

mod consumers;
mod limits;
mod meaning;
mod output;
mod place;
mod public;
mod quickstart;
