//! The migrations are compiled in; cargo must be told that they are sources.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
