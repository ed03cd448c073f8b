//! What nobody sees in a text: with it two names look like one, or none like a name.

/// The first character of a text that nobody sees, and its place, the first being 0.
///
/// That is what Unicode tells programs to show nothing for (`Default_Ignorable_Code_Point`
/// of its character database: blanks without width, fillers of Hangul, marks that turn
/// the direction of what stands around them, tags), what separates lines, and the blank
/// of Braille. What shapes the characters beside it stays where it can: joiners, which
/// scripts of India and Persian are written with, and variation selectors, in names of
/// Japan and in emoji. Between letters that have no other shape they are only hidden.
pub fn unseen(text: &str) -> Option<(usize, char)> {
    let mut before = None;
    let mut characters = text.chars().enumerate().peekable();
    while let Some((place, character)) = characters.next() {
        let after = characters.peek().map(|(_, after)| *after);
        let seen = match character {
            JOINER | NON_JOINER => {
                before.is_some_and(|it| is_selector(it) || is_joined(it))
                    && after.is_some_and(is_joined)
            }
            _ if is_selector(character) => before.is_some_and(is_shaped),
            _ => !is_ignorable(character),
        };
        if !seen {
            return Some((place, character));
        }
        before = Some(character);
    }
    None
}

const NON_JOINER: char = '\u{200c}';
const JOINER: char = '\u{200d}';

fn is_selector(character: char) -> bool {
    matches!(character,
        '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Whether a selector may choose a shape of it.
fn is_shaped(character: char) -> bool {
    !(character.is_whitespace()
        || is_ignorable(character)
        || is_selector(character)
        || matches!(character, NON_JOINER | JOINER)
        || character.is_ascii()
        || is_plain(character) && character.is_alphanumeric())
}

/// Whether a joiner may stand beside it.
fn is_joined(character: char) -> bool {
    is_shaped(character) && !matches!(character, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}')
}

/// Letters that have one shape: of Latin, Greek and Cyrillic, of Hangul and Kana, and
/// those of full and half width.
fn is_plain(character: char) -> bool {
    matches!(character,
        '\0'..='\u{52f}' | '\u{1100}'..='\u{11ff}' | '\u{1e00}'..='\u{1fff}'
        | '\u{3040}'..='\u{30ff}' | '\u{3130}'..='\u{318f}' | '\u{31f0}'..='\u{31ff}'
        | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7ff}' | '\u{ff00}'..='\u{ffef}')
}

fn is_ignorable(character: char) -> bool {
    matches!(character,
        '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d159}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_scripts_are_seen() {
        for name in [
            "",
            "김하나",
            "José Martínez",
            "محمد",
            "ナカムラ・ケン",
            "राज",
            "O'Neill",
            // A joiner after a virama, one between letters of Persian.
            "क्\u{200d}ष",
            "می\u{200c}خواهم",
            // A shape of a character in a Japanese name.
            "葛\u{e0100}城",
            "👩\u{200d}🍳 요리",
            "❤\u{fe0f}\u{200d}🔥",
            "마이페이©\u{fe0f}",
        ] {
            assert_eq!(unseen(name), None, "{name}");
        }
    }

    #[test]
    fn fillers_and_blanks_without_width_are_no_name() {
        for hidden in [
            '\u{3164}',
            '\u{115f}',
            '\u{1160}',
            '\u{ffa0}',
            '\u{200b}',
            '\u{2060}',
            '\u{feff}',
            '\u{00ad}',
            '\u{034f}',
            '\u{180e}',
            '\u{2800}',
            '\u{e0041}',
            '\u{200c}',
            '\u{200d}',
            '\u{fe0f}',
            '\u{e0100}',
        ] {
            let alone = hidden.to_string();
            assert_eq!(unseen(&alone), Some((0, hidden)));
            assert_eq!(unseen(&format!("김{hidden}하나")), Some((1, hidden)));
            assert_eq!(unseen(&format!("Kim{hidden}")), Some((3, hidden)));
            assert_eq!(unseen(&format!("{hidden}김")), Some((0, hidden)));
        }
    }

    #[test]
    fn what_turns_the_direction_is_unseen() {
        let turns = ['\u{61c}', '\u{200e}', '\u{200f}'].into_iter();
        for turn in turns
            .chain('\u{202a}'..='\u{202e}')
            .chain('\u{2066}'..='\u{2069}')
        {
            assert_eq!(unseen(&format!("محمد{turn}")), Some((4, turn)));
        }
    }

    #[test]
    fn joiners_in_a_row_join_nothing() {
        assert_eq!(unseen("م\u{200c}\u{200c}م"), Some((1, '\u{200c}')));
        assert_eq!(unseen("葛\u{e0100}\u{e0100}"), Some((2, '\u{e0100}')));
        assert_eq!(unseen("葛\u{200d}城"), Some((1, '\u{200d}')));
    }
}
