//! Sets what `--version` prints.

fn main() {
    sparrow_build_info::emit();
}
