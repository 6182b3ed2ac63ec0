//! A page of documentation, as something that can be done.
//!
//! A fenced block with a comment above it, which readers do not see, is a step:
//!
//! - `<!-- new file: PATH -->` the block is the file;
//! - `<!-- PATH, before: TEXT -->` and `<!-- PATH, after: TEXT -->` it goes above or below the one line with this text;
//! - `<!-- PATH, in the place of: TEXT -->` it replaces that line.

/// The text of a page.
pub struct Page<'p>(pub &'p str);

/// What to do to one file.
#[derive(Debug)]
pub struct Step<'p> {
    pub path: &'p str,
    pub place: Place<'p>,
    pub block: String,
}

#[derive(Debug)]
pub enum Place<'p> {
    NewFile,
    Before(&'p str),
    After(&'p str),
    Instead(&'p str),
}

impl<'p> Page<'p> {
    /// The steps, in their order.
    pub fn steps(&self) -> Vec<Step<'p>> {
        let mut lines = self.0.lines();
        let mut steps = Vec::new();
        while let Some(line) = lines.next() {
            let Some((path, place)) = marker(line) else { continue };
            let fence = lines.next().unwrap_or_default();
            assert!(fence.starts_with("```"), "no block follows {line}");
            let block = lines.by_ref().take_while(|line| *line != "```");
            let block = block.fold(String::new(), |text, line| text + line + "\n");
            steps.push(Step { path, place, block });
        }
        assert!(!steps.is_empty(), "the page has no steps");
        steps
    }
}

fn marker(line: &str) -> Option<(&str, Place<'_>)> {
    let text = line.strip_prefix("<!-- ")?.strip_suffix(" -->")?;
    let (what, rest) = text.split_once(": ").unwrap_or_else(|| panic!("{line} says nothing"));
    if what == "new file" {
        return Some((rest, Place::NewFile));
    }
    let (path, how) = what.split_once(", ").unwrap_or_else(|| panic!("{line} names no place"));
    let place = match how {
        "before" => Place::Before(rest),
        "after" => Place::After(rest),
        "in the place of" => Place::Instead(rest),
        _ => panic!("{line} names no place"),
    };
    Some((path, place))
}
