import fc from 'fast-check';
import { expect, test } from 'vitest';
import { printable } from '../../src/report/printable.ts';

test.each([
  ['plain text stays', 'AMD EPYC 7B13', 'AMD EPYC 7B13'],
  ['accents, CJK and emoji stay', 'Größe 大小 🙂', 'Größe 大小 🙂'],
  ['colours go', '\u001b[1;31mred\u001b[0m', 'red'],
  ['cursor movements go', 'a\u001b[2J\u001b[Hb', 'ab'],
  ['a window title goes, ended by BEL', '\u001b]0;owned\u0007x', 'x'],
  ['a link goes, ended by ST', '\u001b]8;;http://evil\u001b\\click\u001b]8;;\u001b\\', 'click'],
  ['a string without end goes', 'a\u001bPq123', 'a'],
  ['a charset switch goes', '\u001b(0lqk', 'lqk'],
  ['a lone escape goes', 'a\u001b', 'a'],
  ['one-byte CSI loses its power', 'a\u009b31mb', 'a 31mb'],
  ['newlines and tabs become one blank', 'a\r\n\t\u0000b', 'a b'],
  ['a line separator is a newline too', 'a\u2028b', 'a b'],
  ['text direction can not be turned', 'abc\u202edef', 'abc def'],
  ['zero-width characters go', 'ro\u200bot', 'ro ot'],
  ['half a surrogate pair goes', 'a\ud800b', 'a b'],
  ['blanks at the ends go', '  a  ', 'a'],
])('%s', (_, text, expected) => {
  expect(printable(text)).toBe(expected);
});

test('what is too long is cut and says so', () => {
  expect(printable('x'.repeat(500))).toBe('x'.repeat(500));
  expect(printable('x'.repeat(501))).toBe(`${'x'.repeat(499)}…`);
  expect(printable('abcdef', 3)).toBe('ab…');
  expect(printable('🙂🙂🙂', 3)).toBe('🙂🙂🙂');
  expect(printable('🙂🙂🙂🙂', 3)).toBe('🙂🙂…');
});

test('escape sequences are no way around the limit', () => {
  expect(printable(`${'\u001b[0m'.repeat(100_000)}hidden`, 10)).toBe('…');
});

test('any text comes out short, on one line, without control characters', () => {
  const piece = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('\u001b', '\u001b[', '\u001b]', '\u0007', '\u009b', '\n', '[', 'm', '\u202e', '\ud83d', '\u001b\\'),
  );
  fc.assert(
    fc.property(fc.array(piece), fc.integer({ min: 1, max: 40 }), (pieces, limit) => {
      const shown = printable(pieces.join(''), limit);
      expect([...shown].length).toBeLessThanOrEqual(limit);
      expect(shown).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
    }),
  );
});

test('hostile text takes no long time', () => {
  const started = performance.now();
  for (const text of ['\u001b]'.repeat(1e6), '\u001b['.repeat(1e6), ' '.repeat(1e6), '\u001b[;'.repeat(1e6)]) {
    printable(text, 10_000);
  }
  expect(performance.now() - started).toBeLessThan(1000);
});
