//! What `docs/abi.md` says to authors of clients, beyond its tables of numbers: which check of a request comes first, and single sentences.
mod card;
mod order;
mod scene;
mod sentences;
