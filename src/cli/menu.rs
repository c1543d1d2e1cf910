//! A text menu on the terminal, with which the person who starts the program chooses the station's source. Runs on `main`
//! before anything is started; it knows nothing of sources, only of lines.

use std::io::{self, IsTerminal, Write};

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::{cursor, queue, style, terminal};

/// Whether standard input and standard error are terminals.
pub fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Shows `lines` and returns the chosen one; the arrow keys start at `selected`. None after Esc, q or Ctrl-C.
///
/// # Errors
/// If the terminal cannot be switched to raw mode, written or read.
pub fn choose(title: &str, lines: &[String], selected: usize) -> io::Result<Option<usize>> {
    // Log lines would be written across the menu.
    log::logger().flush();
    let mut screen = io::stderr();
    terminal::enable_raw_mode()?;
    let choice = run(&mut screen, title, lines, selected);
    terminal::disable_raw_mode()?;
    writeln!(screen)?;
    choice
}

fn run(screen: &mut impl Write, title: &str, lines: &[String], mut selected: usize) -> io::Result<Option<usize>> {
    queue!(screen, style::Print(title), style::Print("\r\n"))?;
    loop {
        draw(screen, lines, selected)?;
        let key = loop {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => break key,
                _ => {}
            }
        };
        match step(key, selected, lines.len()) {
            Step::Select(next) => selected = next,
            Step::Choose => return Ok(Some(selected)),
            Step::Quit => return Ok(None),
        }
        queue!(screen, cursor::MoveUp(lines.len() as u16))?;
    }
}

fn draw(screen: &mut impl Write, lines: &[String], selected: usize) -> io::Result<()> {
    // Some serial consoles say that they have no columns.
    let columns = terminal::size().ok().map(|(columns, _)| usize::from(columns)).filter(|&columns| columns > 0);
    let width = columns.unwrap_or(80).saturating_sub(3);
    for (n, line) in lines.iter().enumerate() {
        let short: String = line.chars().take(width).collect();
        queue!(screen, terminal::Clear(terminal::ClearType::CurrentLine))?;
        if n == selected {
            let marked = style::Stylize::reverse(style::style(format!("> {short}")));
            queue!(screen, style::PrintStyledContent(marked))?;
        } else {
            queue!(screen, style::Print(format!("  {short}")))?;
        }
        queue!(screen, style::Print("\r\n"))?;
    }
    screen.flush()
}

#[derive(Debug, PartialEq)]
enum Step {
    Select(usize),
    Choose,
    Quit,
}

fn step(key: KeyEvent, selected: usize, count: usize) -> Step {
    match key.code {
        KeyCode::Up | KeyCode::Char('k') => Step::Select(selected.checked_sub(1).unwrap_or(count - 1)),
        KeyCode::Down | KeyCode::Char('j') => Step::Select((selected + 1) % count),
        KeyCode::Home => Step::Select(0),
        KeyCode::End => Step::Select(count - 1),
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Step::Quit,
        KeyCode::Esc | KeyCode::Char('q') => Step::Quit,
        KeyCode::Enter => Step::Choose,
        KeyCode::Char(digit) => match digit.to_digit(10) {
            Some(n) if (n as usize) < count => Step::Select(n as usize),
            _ => Step::Select(selected),
        },
        _ => Step::Select(selected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrow_keys_wrap_around_and_enter_chooses() {
        let press = |code| KeyEvent::new(code, KeyModifiers::NONE);
        assert_eq!(step(press(KeyCode::Up), 0, 3), Step::Select(2));
        assert_eq!(step(press(KeyCode::Down), 2, 3), Step::Select(0));
        assert_eq!(step(press(KeyCode::Char('1')), 2, 3), Step::Select(1));
        assert_eq!(step(press(KeyCode::Char('7')), 2, 3), Step::Select(2));
        assert_eq!(step(press(KeyCode::Enter), 1, 3), Step::Choose);
        assert_eq!(step(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL), 1, 3), Step::Quit);
    }
}
