// What comes from another machine may hold anything: this makes it safe to show.

const ESCAPE = '\u001b';
// CSI (colours, cursor), OSC and the other strings (titles, links) with whatever ends them, and two-character escapes.
const ANSI = new RegExp(
  `${ESCAPE}(?:\\[[0-?]*[ -/]*[@-~]?|[\\]PX^_][^\u0007${ESCAPE}]*(?:\u0007|${ESCAPE}\\\\)?|[ -/]*[0-~]?)`,
  'gu',
);
// Control characters, those that turn the direction of text, invisible ones, separators of lines, halves of pairs.
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]+/gu;

/**
 * One line that a terminal shows as it is: escape sequences removed, runs of control and invisible characters (newlines and tabs
 * too) turned into one space, no longer than `limit` characters, of which the last is `…` when something was cut off.
 */
export function printable(text: string, limit = 500): string {
  // Nothing grows here, so a look at the beginning is enough; escape sequences may take most of it.
  const clean = text
    .slice(0, limit * 20)
    .replace(ANSI, '')
    .replace(UNPRINTABLE, ' ')
    .trim();
  const characters = [...clean];
  const cut = characters.length > limit || text.length > limit * 20;
  return cut ? `${characters.slice(0, Math.max(0, limit - 1)).join('')}…` : clean;
}
