//! What only reads, as a table.

use std::path::Path;

use super::read_only;

#[test]
fn only_what_reads_is_read_only() {
    let table: &[(&str, bool)] = &[
        ("ls -la src", true),
        ("ls | wc -l", true),
        ("cat a.txt && head -5 b.txt; pwd", true),
        ("ls\npwd", true),
        ("ls # comment\npwd # again", true),
        ("ls # comment\nrm x", false),
        ("ls\nrm x", false),
        ("ls > out.txt", false),
        ("ls > /dev/null 2>&1", true),
        ("for f in a b; do echo \"$f\"; done", true),
        ("if [ -f x ]; then cat x; else ls; fi", true),
        ("while read -r line; do echo \"$line\"; done < file", true),
        ("while cd x; do ls; done", false),
        ("echo $(ls)", true),
        ("echo $(rm x)", false),
        ("echo `ls`", false),
        ("find . -name '*.rs' -type f", true),
        ("find . -name '*.rs' -delete", false),
        ("find . -exec rm {} \\;", false),
        ("timeout 5 ls -l", true),
        ("bash -c 'ls; pwd'", true),
        ("bash -c 'ls; rm x'", false),
        ("cat <<'EOF' | grep x\nhello $(id)\nEOF", true),
        ("cat <<EOF | grep x\nhello $(id)\nEOF", false),
        ("sort a -o b", false),
        ("PATH=. ls", false),
        ("ls() { rm x; }; ls", false),
        ("echo a; #b\nls", true),
    ];
    for (command, expected) in table {
        let read = read_only(command, Path::new("/nowhere"));
        assert_eq!(read.is_ok(), *expected, "{command}: {read:?}");
    }
}
