//! Embeds the web pages anew when one of them was added or removed.

fn main() {
    println!("cargo::rerun-if-changed=web");
}
