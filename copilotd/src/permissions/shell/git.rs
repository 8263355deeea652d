//! `git`: which of its commands only read, with which options.
//!
//! Says nothing about what a repository makes git run; that is in [`super::repository`] and
//! [`super::environment`]. Must never list an option that writes a file, runs a program or
//! leads out of the repository.

use super::read_only::{Reach, Read};

/// Options of everything that shows changes.
const DIFF: &[&str] = &[
    "-p",
    "-u",
    "-s",
    "-w",
    "-b",
    "-a",
    "-z",
    "-M",
    "-C",
    "-R",
    "-W",
    "--patch",
    "--no-patch",
    "--raw",
    "--stat",
    "--numstat",
    "--shortstat",
    "--summary",
    "--compact-summary",
    "--name-only",
    "--name-status",
    "--color",
    "--no-color",
    "--word-diff",
    "--color-words",
    "--ignore-all-space",
    "--ignore-space-change",
    "--ignore-space-at-eol",
    "--ignore-blank-lines",
    "--cached",
    "--staged",
    "--merge-base",
    "--check",
    "--full-index",
    "--abbrev",
    "--minimal",
    "--patience",
    "--histogram",
    "--diff-algorithm",
    "--find-renames",
    "--find-copies",
    "--no-renames",
    "--diff-filter",
    "--text",
    "--exit-code",
    "--quiet",
    "--function-context",
    "--no-ext-diff",
    "--no-textconv",
    "--ignore-submodules",
    "--unified",
    "--relative",
    "--no-prefix",
    "--pickaxe-all",
    "--pickaxe-regex",
    "--inter-hunk-context",
];

/// Options of everything that shows commits.
const LOG: &[&str] = &[
    "-i",
    "-E",
    "-F",
    "-P",
    "-g",
    "-m",
    "-c",
    "--cc",
    "--oneline",
    "--graph",
    "--all",
    "--decorate",
    "--no-decorate",
    "--reverse",
    "--merges",
    "--no-merges",
    "--first-parent",
    "--max-count",
    "--skip",
    "--since",
    "--until",
    "--after",
    "--before",
    "--author",
    "--committer",
    "--grep",
    "--invert-grep",
    "--format",
    "--pretty",
    "--date",
    "--abbrev-commit",
    "--no-abbrev-commit",
    "--follow",
    "--branches",
    "--tags",
    "--remotes",
    "--topo-order",
    "--date-order",
    "--full-history",
    "--left-right",
    "--cherry-pick",
    "--cherry-mark",
    "--no-walk",
    "--walk-reflogs",
    "--relative-date",
    "--count",
    "--boundary",
    "--ancestry-path",
    "--simplify-by-decoration",
    "--parents",
    "--children",
];

/// A command that only reads when it is given nothing but these options.
struct Subcommand {
    names: &'static [&'static str],
    options: &'static [&'static [&'static str]],
    /// Letters that take the next word, or the rest of theirs, as a value.
    values: &'static str,
    operands: Operands,
}

/// What a command may be given that is not an option.
enum Operands {
    /// Revisions, paths, patterns.
    Any,
    /// None: with one, it would change something.
    None,
    /// None, unless an option says that it only lists.
    IfListing(&'static [&'static str]),
    /// Nothing, or this word and then anything.
    After(&'static str),
    /// This word and then anything.
    Only(&'static [&'static str]),
}

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        names: &["status"],
        options: &[&[
            "-s",
            "-b",
            "-u",
            "-uno",
            "-uall",
            "-unormal",
            "-z",
            "-v",
            "-sb",
            "--short",
            "--branch",
            "--porcelain",
            "--long",
            "--untracked-files",
            "--ignored",
            "--show-stash",
            "--ahead-behind",
            "--no-ahead-behind",
            "--renames",
            "--no-renames",
        ]],
        values: "",
        operands: Operands::Any,
    },
    Subcommand {
        names: &["diff"],
        options: &[DIFF],
        values: "SGUl",
        operands: Operands::Any,
    },
    Subcommand {
        names: &["log", "show", "shortlog", "rev-list"],
        options: &[
            DIFF,
            LOG,
            &["-n", "-e", "-sn", "-sne", "--numbered", "--email"],
        ],
        values: "nSGUL",
        operands: Operands::Any,
    },
    Subcommand {
        names: &["reflog"],
        options: &[DIFF, LOG],
        values: "n",
        operands: Operands::After("show"),
    },
    Subcommand {
        names: &["stash"],
        options: &[DIFF, LOG],
        values: "n",
        operands: Operands::Only(&["list", "show"]),
    },
    Subcommand {
        names: &["rev-parse"],
        options: &[&[
            "--short",
            "--abbrev-ref",
            "--show-toplevel",
            "--git-dir",
            "--git-common-dir",
            "--absolute-git-dir",
            "--is-inside-work-tree",
            "--is-inside-git-dir",
            "--is-bare-repository",
            "--show-prefix",
            "--show-cdup",
            "--verify",
            "--quiet",
            "-q",
            "--symbolic",
            "--symbolic-full-name",
            "--all",
            "--branches",
            "--tags",
            "--remotes",
        ]],
        values: "",
        operands: Operands::Any,
    },
    Subcommand {
        names: &["ls-files"],
        options: &[&[
            "-c",
            "-d",
            "-m",
            "-o",
            "-i",
            "-s",
            "-t",
            "-u",
            "-z",
            "--cached",
            "--deleted",
            "--modified",
            "--others",
            "--ignored",
            "--stage",
            "--unmerged",
            "--exclude-standard",
            "--error-unmatch",
            "--full-name",
            "--directory",
        ]],
        values: "",
        operands: Operands::Any,
    },
    Subcommand {
        names: &["ls-tree"],
        options: &[&[
            "-r",
            "-d",
            "-t",
            "-l",
            "-z",
            "--name-only",
            "--name-status",
            "--full-name",
            "--full-tree",
            "--long",
        ]],
        values: "",
        operands: Operands::Any,
    },
    Subcommand {
        names: &["cat-file"],
        options: &[&["-p", "-t", "-s", "-e"]],
        values: "",
        operands: Operands::Any,
    },
    Subcommand {
        names: &["blame"],
        options: &[&[
            "-w",
            "-C",
            "-M",
            "-s",
            "-e",
            "-f",
            "-l",
            "-t",
            "--date",
            "--show-email",
            "--show-name",
            "--show-number",
            "--porcelain",
            "--line-porcelain",
            "--since",
        ]],
        values: "L",
        operands: Operands::Any,
    },
    Subcommand {
        names: &["describe", "name-rev", "merge-base", "show-ref"],
        options: &[&[
            "--tags",
            "--always",
            "--long",
            "--abbrev",
            "--dirty",
            "--all",
            "--exact-match",
            "--match",
            "--exclude",
            "--name-only",
            "--is-ancestor",
            "--fork-point",
            "--heads",
            "--branches",
            "--head",
            "--verify",
            "--hash",
        ]],
        values: "",
        operands: Operands::Any,
    },
    Subcommand {
        names: &["for-each-ref"],
        options: &[&[
            "--format",
            "--sort",
            "--count",
            "--contains",
            "--merged",
            "--no-merged",
        ]],
        values: "",
        operands: Operands::Any,
    },
    Subcommand {
        names: &["branch"],
        options: &[&[
            "-a",
            "-r",
            "-v",
            "-vv",
            "-av",
            "-avv",
            "-rv",
            "--all",
            "--remotes",
            "--verbose",
            "--list",
            "--show-current",
            "--contains",
            "--no-contains",
            "--merged",
            "--no-merged",
            "--points-at",
            "--sort",
            "--format",
            "--color",
            "--no-color",
        ]],
        values: "",
        operands: Operands::IfListing(&[
            "--list",
            "--contains",
            "--no-contains",
            "--merged",
            "--no-merged",
            "--points-at",
        ]),
    },
    Subcommand {
        names: &["tag"],
        options: &[&[
            "-l",
            "-n",
            "--list",
            "--sort",
            "--contains",
            "--merged",
            "--no-merged",
            "--points-at",
            "--format",
        ]],
        values: "",
        operands: Operands::IfListing(&["-l", "--list"]),
    },
    Subcommand {
        names: &["remote"],
        options: &[&["-v", "--verbose"]],
        values: "",
        operands: Operands::After("get-url"),
    },
    Subcommand {
        names: &["worktree"],
        options: &[&["--porcelain", "-v", "-z"]],
        values: "",
        operands: Operands::Only(&["list"]),
    },
    Subcommand {
        names: &["grep"],
        options: &[&[
            "-n",
            "-i",
            "-l",
            "-L",
            "-c",
            "-w",
            "-v",
            "-h",
            "-H",
            "-E",
            "-F",
            "-G",
            "-P",
            "-I",
            "-o",
            "-q",
            "-z",
            "-W",
            "-p",
            "-in",
            "-ni",
            "-nw",
            "-il",
            "-rn",
            "-r",
            "--cached",
            "--count",
            "--line-number",
            "--name-only",
            "--files-with-matches",
            "--ignore-case",
            "--word-regexp",
            "--fixed-strings",
            "--extended-regexp",
            "--perl-regexp",
            "--untracked",
            "--heading",
            "--break",
            "--column",
            "--show-function",
        ]],
        values: "ABCe",
        operands: Operands::Any,
    },
    Subcommand {
        names: &["count-objects"],
        options: &[&["-v", "-H", "--human-readable"]],
        values: "",
        operands: Operands::None,
    },
    Subcommand {
        names: &["version", "--version"],
        options: &[],
        values: "",
        operands: Operands::None,
    },
];

/// Whether this `git` only reads, as far as its words say. An error says why not.
pub(super) fn check(arguments: &[&str]) -> Result<Vec<Read>, String> {
    let mut reads = vec![Read::new(".", Reach::Repository)];
    let mut rest = arguments;
    let (name, arguments) = loop {
        match rest {
            ["--no-pager" | "-P" | "--no-optional-locks", behind @ ..] => rest = behind,
            ["-C", folder, behind @ ..] if !folder.is_empty() => {
                reads.push(Read::new(folder, Reach::Enter));
                rest = behind;
            }
            [name, behind @ ..] => break (*name, behind),
            [] => return Err("it has no command".to_owned()),
        }
    };
    let known = SUBCOMMANDS.iter().find(|known| known.names.contains(&name));
    let known = known.ok_or_else(|| format!("`git {name}` is not known to only read"))?;
    let operands = known.read(arguments)?;
    reads.extend(operands.iter().map(|path| Read::new(path, Reach::Itself)));
    Ok(reads)
}

impl Subcommand {
    /// The arguments that are not options, when the others are known.
    fn read<'a>(&self, arguments: &[&'a str]) -> Result<Vec<&'a str>, String> {
        let mut operands = Vec::new();
        let mut lists = false;
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            if *argument == "--" {
                // It may be the value of the option before it, and then options go on.
                if rest.as_slice().iter().any(|word| word.starts_with('-')) {
                    return Err("it cannot be told where its options end".to_owned());
                }
            } else if argument.starts_with('-') {
                let (option, value) = match argument.split_once('=') {
                    Some((option, value)) if option.starts_with("--") => (option, value),
                    _ => (*argument, ""),
                };
                if let Operands::IfListing(listing) = self.operands {
                    lists |= listing.contains(&option);
                }
                // Signatures are checked by a program.
                if value.contains("%G") || value.contains("signature") {
                    return Err("it checks signatures".to_owned());
                }
                let letter = option
                    .get(1..2)
                    .filter(|letter| self.values.contains(letter));
                if self.options.iter().any(|known| known.contains(&option)) && letter.is_none() {
                    continue;
                }
                match letter {
                    _ if is_number(option) => {}
                    Some(_) if option.len() > 2 => {}
                    Some(_) => {
                        rest.next()
                            .ok_or_else(|| format!("its {option} has no value"))?;
                    }
                    None => return Err(unknown(option)),
                }
            } else {
                operands.push(*argument);
            }
        }
        let harmless = match self.operands {
            Operands::Any => true,
            Operands::None => operands.is_empty(),
            Operands::IfListing(_) => operands.is_empty() || lists,
            Operands::After(word) => operands.first().is_none_or(|first| *first == word),
            Operands::Only(words) => operands.first().is_some_and(|first| words.contains(first)),
        };
        if harmless {
            Ok(operands)
        } else {
            Err("with these arguments it may change something".to_owned())
        }
    }
}

/// `-5`: how many to show.
fn is_number(option: &str) -> bool {
    let digits = option.get(1..).unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

fn unknown(option: &str) -> String {
    format!("its option {option} is not known to be harmless")
}
