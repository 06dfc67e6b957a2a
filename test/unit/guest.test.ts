// What the script that starts a guest printed, read as it is and broken in every way.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NestedCheckError } from '../../src/errors.ts';
import { readStart } from '../../src/host/guest.ts';

const read = (stdout: string, stderr = '') => readStart(stdout, 'L2', stderr);

test('the agent connected', () => {
  expect(read('10.00 ready\n10.50 created\n14.25 agent\n')).toEqual({ outcome: 'agent', words: '', bootMs: 4250 });
});

test("refused, with libvirt's words as they are", () => {
  const words = "error: Failed to create domain\nerror: unsupported configuration: CPU mode 'x'\n";
  expect(read(`10.00 ready\n10.50 refused\n${words}`)).toEqual({ outcome: 'refused', words, bootMs: 500 });
});

test.each(['ended', 'silent'] as const)('%s, with the end of the console', (outcome) => {
  const console = 'panic\n20.00 agent\n\n';
  expect(read(`1.00 ready\n2.00 created\n9.99 ${outcome}\n${console}`)).toEqual({
    outcome,
    words: console,
    bootMs: 8990,
  });
});

test('without `ready` no time is made up', () => {
  expect(read('3.00 agent\n')).toEqual({ outcome: 'agent', words: '', bootMs: 0 });
});

test('the clock of a machine that is up for months', () => {
  expect(read('31536000.01 ready\n31536000.02 created\n31536002.51 agent\n').bootMs).toBe(2500);
});

describe('what is no outcome is an error of ours to tell, with what the script said', () => {
  test.each([
    ['nothing', ''],
    ['only the beginning', '10.00 ready\n10.50 created\n'],
    ['half a line', '10.00 ready\n10.5'],
    ['half a word', '10.00 ready\n10.50 created\n11.00 age'],
    ['another word', '10.00 ready\n10.50 perhaps\n11.00 agent\n'],
    ['words before', 'sh: 1: Syntax error\n10.00 ready\n11.00 agent\n'],
    ['no time', 'agent\n'],
    ['a time that is none', '-1.00 agent\n'],
    ['a carriage return', '10.00 agent\r\n'],
  ])('%s', (_, stdout) => {
    let error: unknown;
    try {
      read(stdout, `${'x'.repeat(5000)}mktemp: No space left on device\n`);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(NestedCheckError);
    expect(error).toMatchObject({ code: 'command', message: expect.stringMatching(/^L2: .*No space left on device$/) });
    expect((error as Error).message.length).toBeLessThan(1000);
  });
});

test('any text is an outcome or that error', () => {
  const line = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom(
      '1.00 ready',
      '2.00 created',
      '3.00 agent',
      '0.00 silent',
      '9'.repeat(400),
      `${'9'.repeat(400)}.0 agent`,
    ),
  );
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      try {
        const { outcome, bootMs } = read(lines.join('\n'));
        expect(['agent', 'refused', 'ended', 'silent']).toContain(outcome);
        expect(Number.isSafeInteger(bootMs)).toBe(true);
      } catch (error) {
        if (!(error instanceof NestedCheckError)) throw error;
      }
    }),
  );
});
