// A round of probes, really run by sh, and what is read of what it printed.
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { dmesgProbe } from '../../src/probe/dmesg.ts';
import { type Probe, readRound, roundScript } from '../../src/probe/probe.ts';
import { readVersions } from '../../src/probe/versions.ts';

// Programs are started here, on machines that may be busy.
vi.setConfig({ testTimeout: 30_000 });

const probe = (name: string, script: string): Probe => ({ name, description: name, script });

/** Runs a round as a guest does. */
function round(...probes: Probe[]): { stdout: string; found: Map<string, string> } {
  const stdout = execFileSync('sh', ['-s', 'qemu:///system'], { input: roundScript(probes), encoding: 'utf8' });
  return { stdout, found: readRound(stdout) };
}

test('each probe gives what it printed, whatever the others do', () => {
  const { found } = round(
    probe('first', 'echo one'),
    probe('fails', 'echo half; exit 3'),
    probe('changes', 'cd /; set -- lost; variable=lost'),
    probe('missing', 'no-such-program-anywhere'),
    probe('silent', ':'),
    probe('loud', 'echo said; echo complained >&2'),
    probe('argument', 'printf %s "$1$variable"'),
    probe('last-one', 'printf "no line end"'),
  );
  expect(Object.fromEntries(found)).toEqual({
    first: 'one\n',
    fails: 'half\n',
    changes: '',
    missing: '',
    silent: '',
    loud: 'said\n',
    argument: 'qemu:///system',
    'last-one': 'no line end',
  });
});

test('binary output and many lines arrive on one line', () => {
  const { stdout, found } = round(
    probe('binary', String.raw`printf 'a\000b\377\nc\033[31m'`),
    probe('long', 'i=0; while [ $i -lt 5000 ]; do echo "line $i: some words"; i=$((i+1)); done'),
    probe('words', 'echo "first AAAA"; echo "äöü 大"'),
  );
  expect(stdout.trimEnd().split('\n')).toHaveLength(3);
  expect(found.get('binary')).toBe('a\0b\ufffd\nc\u001b[31m');
  expect(found.get('long')?.split('\n')).toHaveLength(5001);
  // its words look like a line of a round
  expect(found.get('words')).toBe('first AAAA\näöü 大\n');
  expect(found.has('first')).toBe(false);
});

test('a probe that reads its input does not eat the next one', () => {
  const { found } = round(probe('greedy', 'cat'), probe('next', 'echo here'));
  expect(found.get('next')).toBe('here\n');
});

test('the bundled probes are POSIX sh', () => {
  execFileSync('sh', ['-n'], { input: roundScript([dmesgProbe]) });
});

test('what is not of a round is passed over', () => {
  const stdout = 'noise\nname QUJD\nNAME QUJD\nname2 QUJD\nspaced  QUJD\nother QU-D\n none QUJD\nempty \n';
  expect(Object.fromEntries(readRound(stdout))).toEqual({ name: 'ABC', empty: '' });
  expect(readRound('').size).toBe(0);
});

test('output that broke off in the middle loses only its last probe', () => {
  expect(readRound('first b25l\nsecond dHdv').get('first')).toBe('one');
});

test('hostile text never throws', () => {
  const line = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom(
      'facts ',
      'facts ====',
      'constructor QUJD',
      '__proto__ QUJD',
      `a ${'A'.repeat(10_001)}`,
      '\r',
      '\0',
    ),
  );
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      for (const [name, text] of readRound(lines.join('\n'))) {
        expect(name).toMatch(/^[a-z-]+$/);
        expect(typeof text).toBe('string');
      }
    }),
  );
});

test('versions as virsh prints them', () => {
  const text = `Compiled against library: libvirt 9.0.0
Using library: libvirt 9.0.0
Using API: QEMU 9.0.0
Running hypervisor: QEMU 7.2.22
`;
  expect(readVersions(text)).toEqual({ libvirt: '9.0.0', qemu: '7.2.22' });
  expect(readVersions('error: failed to connect')).toEqual({ libvirt: null, qemu: null });
});
