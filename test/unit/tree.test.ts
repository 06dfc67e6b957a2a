import { execFile, execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LIVE_TREE_SCRIPT, parseTree, TREE_SCRIPT } from '../../src/probe/tree.ts';

const FIXTURES = new URL('../fixtures/trees/', import.meta.url);
const SHELLS = ['sh', 'bash', 'busybox'].filter((shell) => {
  try {
    execFileSync(shell, shell === 'busybox' ? ['true'] : ['-c', 'true']);
    return true;
  } catch {
    return false;
  }
});

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'nested-check-tree-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function put(path: string, content: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
}

/** What the script must find, seen with Node's own eyes. */
function kvmState(): string {
  try {
    closeSync(openSync('/dev/kvm', 'r+'));
    return 'open';
  } catch {
    return existsSync('/dev/kvm') ? 'denied' : 'absent';
  }
}

/** Whether /dev/kvm exists, this is root, and others may not open it. */
function canBeDenied(): boolean {
  return process.getuid?.() === 0 && existsSync('/dev/kvm') && (statSync('/dev/kvm').mode & 0o006) === 0;
}

async function run(script: string, parameters: string[] = [], shell = 'sh', cwd = root): Promise<string> {
  const argv = [...(shell === 'busybox' ? ['sh'] : []), '-c', script, 'sh', ...parameters];
  const options = { cwd, timeout: 20_000, maxBuffer: 64 * 1024 * 1024 };
  const { stdout, stderr } = await promisify(execFile)(shell, argv, options);
  expect(stderr).toBe('');
  return stdout;
}

describe('parseTree', () => {
  test('joins the lines of a file and keeps colons and empty lines', () => {
    const tree = parseTree('proc/cpuinfo:processor\t: 0\nproc/cpuinfo:\nproc/cpuinfo:processor\t: 1\nkernel:6.1: x\n');
    expect([...tree]).toEqual([
      ['proc/cpuinfo', 'processor\t: 0\n\nprocessor\t: 1'],
      ['kernel', '6.1: x'],
    ]);
  });

  test('finds the lines of a file again after those of another', () => {
    expect(parseTree('a:1\nb:2\na:3').get('a')).toBe('1\n3');
  });

  test('tells a path from another that begins alike', () => {
    expect([...parseTree('a/b:1\na/bc:2\na:3')]).toEqual([
      ['a/b', '1'],
      ['a/bc', '2'],
      ['a', '3'],
    ]);
  });

  test('drops the carriage returns of a console', () => {
    expect(parseTree('kernel:6.1\r\n').get('kernel')).toBe('6.1');
  });

  test.each([
    'no colon',
    ':no path',
    '/etc/passwd:x',
    '../up:x',
    'a/../b:x',
    'a//b:x',
    'a b:x',
    'a/:x',
    `${'x'.repeat(65)}:y`,
  ])('passes over %j', (line) => {
    expect(parseTree(`${line}\nkernel:1`)).toEqual(new Map([['kernel', '1']]));
  });

  test('is bounded', () => {
    expect(parseTree(`a:${'x'.repeat(1e6)}`).get('a')?.length).toBe(65_536);
    const flood = parseTree('a:xxxxxxx\n'.repeat(4e6));
    expect(flood.get('a')?.length).toBeLessThan(17e6);
  });

  test('takes any text', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.string(), fc.constantFrom('a:', ':', '\n', '__proto__:x\n'))), (pieces) => {
        for (const [path, content] of parseTree(pieces.join(''))) {
          expect(path).toMatch(/^[^/:\s]+(\/[^/:\s]+)*$/);
          expect(typeof content).toBe('string');
        }
      }),
    );
  });
});

describe.each(SHELLS)('TREE_SCRIPT under %s', (shell) => {
  test.each(['epyc-smt', 'skylake-server-offline', 'zen5-cloud-guest', 'made-ppc64le', 'made-s390x', 'made-arm64'])(
    'reads %s, written out as files, as it was captured',
    async (name) => {
      const captured = parseTree(readFileSync(new URL(`${name}/tree.txt`, FIXTURES), 'utf8'));
      for (const [path, content] of captured) put(path, `${content}\n`);
      const read = parseTree(await run(TREE_SCRIPT, [], shell));
      // An empty file has no line, so it is not in the output.
      const filled = [...captured].filter(([, content]) => content !== '');
      expect([...read].filter(([, content]) => content !== '').sort()).toEqual(filled.sort());
    },
  );

  test('reads the live machine', async () => {
    const tree = parseTree(await run(TREE_SCRIPT, ['live'], shell));
    expect(tree.get('proc/cpuinfo')).toContain('processor');
    expect(tree.get('kernel')).toBe(readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim());
    expect(tree.get('dev/kvm')).toBe(kvmState());
    const online = readFileSync('/sys/devices/system/cpu/online', 'utf8').trim();
    expect(tree.get('sys/devices/system/cpu/online')).toBe(online);
  });
});

describe('TREE_SCRIPT', () => {
  test('can be told to read the live machine without an argument', async () => {
    const tree = parseTree(await run(LIVE_TREE_SCRIPT));
    expect(tree.has('proc/cpuinfo')).toBe(true);
    expect(tree.has('dev/kvm')).toBe(true);
  });

  test.runIf(canBeDenied())('tells a /dev/kvm that it may not open from one that is open', async () => {
    const argv = ['-c', TREE_SCRIPT, 'sh', 'live'];
    const { stdout } = await promisify(execFile)('sh', argv, { cwd: '/', uid: 65534, gid: 65534 });
    expect(parseTree(stdout).get('dev/kvm')).toBe('denied');
  });

  test('looks at nothing but the folder', async () => {
    expect(await run(TREE_SCRIPT)).toBe('');
    put('proc/cpuinfo', 'processor: 0\n');
    expect(await run(TREE_SCRIPT)).toBe('proc/cpuinfo:processor: 0\n');
  });

  test('is not led astray by the environment', async () => {
    const script = `pseudo=/etc/hostname live=live release=x dump=x\n${TREE_SCRIPT}`;
    expect(await run(script)).toBe('');
  });

  test('reads files without a final newline, and empty ones as nothing', async () => {
    put('sys/devices/system/cpu/online', '0-1');
    put('sys/devices/system/cpu/offline', '');
    put('proc/cpuinfo', 'a: 1\n\nb: 2');
    const tree = parseTree(await run(TREE_SCRIPT));
    expect(tree.get('sys/devices/system/cpu/online')).toBe('0-1');
    expect(tree.has('sys/devices/system/cpu/offline')).toBe(false);
    expect(tree.get('proc/cpuinfo')).toBe('a: 1\n\nb: 2');
  });

  test('takes the kernel release from a captured /proc', async () => {
    put('proc/sys/kernel/osrelease', '5.10.0-test\n');
    expect(parseTree(await run(TREE_SCRIPT)).get('kernel')).toBe('5.10.0-test');
  });

  test('follows no link out of the folder and waits for no pipe', async () => {
    put('proc/cpuinfo', 'processor: 0\n');
    mkdirSync(join(root, 'sys/devices/system/cpu/vulnerabilities'), { recursive: true });
    symlinkSync('/etc/passwd', join(root, 'sys/devices/system/cpu/vulnerabilities/leak'));
    symlinkSync('/etc/passwd', join(root, 'kernel'));
    execFileSync('mkfifo', [join(root, 'sys/devices/system/cpu/online'), join(root, 'cpuid')]);
    expect(await run(TREE_SCRIPT)).toBe('proc/cpuinfo:processor: 0\n');
  });

  test('passes over names with blanks, newlines and wildcards', async () => {
    put('sys/devices/system/cpu/cpu0/cache/index0/size', '32K\n');
    put('sys/devices/system/cpu/cpu0/cache/index 1\n/etc/hostname/size', '1K\n');
    put('sys/devices/system/cpu/vulnerabilities/*', 'x\n');
    const tree = parseTree(await run(TREE_SCRIPT));
    expect([...tree.keys()]).toContain('sys/devices/system/cpu/cpu0/cache/index0/size');
    expect([...tree.keys()].some((path) => path.includes(' ') || path.startsWith('etc'))).toBe(false);
  });

  test.skipIf(process.getuid?.() === 0)('leaves out what it may not read', async () => {
    put('proc/cpuinfo', 'processor: 0\n');
    put('sys/devices/system/cpu/online', '0\n');
    chmodSync(join(root, 'sys/devices/system/cpu/online'), 0);
    expect(await run(TREE_SCRIPT)).toBe('proc/cpuinfo:processor: 0\n');
  });

  test('reads hundreds of CPUs', async () => {
    for (let cpu = 0; cpu < 400; cpu++) {
      put(`sys/devices/system/cpu/cpu${cpu}/topology/core_id`, `${cpu}\n`);
      put(`sys/devices/system/cpu/cpu${cpu}/cache/index0/size`, '32K\n');
    }
    expect(parseTree(await run(TREE_SCRIPT)).size).toBe(800);
  });
});
