import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

let cwd: string;
beforeAll(() => {
  cwd = mkdtempSync(join(tmpdir(), 'nested-check-cli-'));
  writeFileSync(join(cwd, 'good.yaml'), 'name: good\ndescription: Nothing wrong\ndepth: {at-least: 1, try: 3}\n');
  writeFileSync(
    join(cwd, 'bad.yaml'),
    'name: bad\ndescription: Two slips\nlevels:\n  - cpu: host-passtrough\n    cpus: 1\n',
  );
});
afterAll(() => rmSync(cwd, { recursive: true }));

/** Nothing that it does here may take long or find a libvirt, a home or an image. */
async function nestedCheck(...args: string[]) {
  const env = { PATH: '/nonexistent', HOME: cwd, LIBVIRT_DEFAULT_URI: 'test:///nonexistent' };
  const options = { cwd, env, extendEnv: false, reject: false, timeout: 20_000 } as const;
  const { exitCode, stdout, stderr } = await execa(process.execPath, [CLI, ...args], options);
  expect(stderr).not.toMatch(/^ {4}at /m); // a stack
  return { exitCode, stdout, stderr };
}

describe('help', () => {
  const commands = [
    [],
    ...[['run'], ['list'], ['doctor'], ['clean'], ['image'], ['cpu']],
    ...[
      ['image', 'build'],
      ['image', 'list'],
      ['image', 'remove'],
      ['cpu', 'show'],
    ],
  ];
  test.each(commands.map((command) => [command.join(' ') || '(none)', command] as const))('%s', async (_, command) => {
    const { exitCode, stdout, stderr } = await nestedCheck(...command, '--help');
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout).toContain(`Usage: ${['nested-check', ...command].join(' ')} `);
    expect(stdout).toMatch(/^Examples:\n {2}nested-check /m);
    expect(stdout).toContain('--debug');
  });

  test('names all commands, and is also what a bare call shows, with status 2', async () => {
    const { exitCode, stdout, stderr } = await nestedCheck();
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
    for (const command of ['run', 'list', 'doctor', 'clean', 'image', 'cpu']) {
      expect(stderr).toMatch(new RegExp(`^  ${command} `, 'm'));
    }
  });

  test('takes at most three times as long as node by itself', () => {
    const ratios = Array.from({ length: 9 }, () => {
      const bare = milliseconds('-e', '0');
      return milliseconds(CLI, '--help') / bare;
    });
    const ratio = ratios.sort((a, b) => a - b)[4] ?? Number.NaN;
    // About 1.6 where nothing else runs. Each pair is measured back to back, and the median taken, for busy machines.
    expect(ratio).toBeLessThan(3);
  });
});

function milliseconds(...args: string[]): number {
  const start = performance.now();
  expect(spawnSync(process.execPath, args).status).toBe(0);
  return performance.now() - start;
}

test('--version prints the version of package.json', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  expect(await nestedCheck('--version')).toEqual({ exitCode: 0, stdout: version, stderr: '' });
});

test('runs through a link, as npm installs it', async () => {
  symlinkSync(CLI, join(cwd, 'nested-check'));
  const { exitCode, stdout } = await execa(process.execPath, [join(cwd, 'nested-check'), 'list'], { cwd });
  expect(exitCode).toBe(0);
  expect(stdout).toContain('quick');
});

describe('a wrong command line ends with 2, and says what is wrong and what would be right', () => {
  test.each([
    ['rnu', "unknown command 'rnu'", 'Did you mean run?'],
    ['image bild', "unknown command 'bild'", 'Did you mean build?'],
    ['run --dpth 2', "unknown option '--dpth'", 'Did you mean --depth?'],
    ['run --depth 0', "option '--depth <levels>' argument '0' is invalid", 'run --help'],
    ['run --depth 17', 'from 1 to 16', 'run --help'],
    ['run --depth two', "'--depth <levels>' argument 'two'", 'run --help'],
    ['run --depth 1.5', "'--depth <levels>' argument '1.5'", 'run --help'],
    ['run --depth', "option '--depth <levels>' argument missing", 'run --help'],
    ['run --jobs 0', "option '--jobs <number>' argument '0'", 'run --help'],
    ['run --timeout 0', "option '--timeout <seconds>' argument '0'", 'run --help'],
    ['run --timeout -5', "option '--timeout <seconds>'", 'run --help'],
    ['run --timeout 1e999', "option '--timeout <seconds>' argument '1e999'", 'run --help'],
    ['run --report xml:a', "option '--report <type[:path]>' argument 'xml:a'", 'run --help'],
    ['doctor --for ever', "option '--for <purpose>' argument 'ever'", 'doctor --help'],
    ['clean everything', "too many arguments for 'clean'", 'clean --help'],
  ])('%s', async (line, message, hint) => {
    const { exitCode, stdout, stderr } = await nestedCheck(...line.split(' '));
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
    const [first, second, ...more] = stderr.split('\n');
    expect(first).toMatch(/^nested-check: /);
    expect(first).toContain(message);
    expect(second).toMatch(/^ {2}hint: /);
    expect(second).toContain(hint);
    expect(more).toEqual([]);
  });
});

describe('list', () => {
  test('a line for each bundled scenario', async () => {
    const { exitCode, stdout, stderr } = await nestedCheck('list');
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout.split('\n')).toEqual([
      expect.stringMatching(/^openstack-on-openstack +depth 2 to 4 +\[default, openstack\] +\S/),
      expect.stringMatching(/^quick +depth 2 +\[default\] +\S/),
    ]);
  });

  test('--json', async () => {
    const { stdout } = await nestedCheck('list', '--json', 'good.yaml');
    expect(JSON.parse(stdout)).toEqual([
      { name: 'good', depth: { 'at-least': 1, try: 3 }, tags: [], description: 'Nothing wrong', file: 'good.yaml' },
    ]);
  });

  test('standard input', async () => {
    const { stdout } = await execa(process.execPath, [CLI, 'list', '-'], {
      input: 'name: piped\ndescription: From a pipe',
    });
    expect(stdout).toMatch(/^piped +depth 1 +From a pipe$/);
  });

  test('a reader that goes away is no error', async () => {
    const script = '{ "$0" "$1" list --json; echo "status $?" >&2; } | true';
    const { stderr } = await execa('sh', ['-c', script, process.execPath, CLI]);
    expect(stderr).toBe('status 0');
  });
});

describe('wrong scenarios end a run with 2 before anything boots', () => {
  test('all problems of all of them', async () => {
    const { exitCode, stdout, stderr } = await nestedCheck('run', 'bad.yaml', 'good.yaml', 'missing.yaml', 'qick');
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
    expect(stderr.split('\n')).toEqual([
      'nested-check: 4 problems with the scenarios',
      'missing.yaml: no such file or folder',
      'qick: neither a file, a folder nor a bundled scenario; did you mean quick?',
      'bad.yaml:4:10 cpu: unknown mode `host-passtrough`; one of none, host-model, host-passthrough, maximum; did you mean `host-passthrough`?',
      'bad.yaml:5:5 unknown key `cpus`; one of cpu, vcpus, memory, machine, expect; did you mean `cpu`?',
      expect.stringMatching(/^ {2}hint: Every key is explained in .*\/scenarios\/quick\.yaml\.$/),
    ]);
  });

  test('one problem is one line', async () => {
    const { exitCode, stderr } = await nestedCheck('run', '--dry-run', 'missing.yaml');
    expect(exitCode).toBe(2);
    expect(stderr.split('\n')[0]).toBe('nested-check: missing.yaml: no such file or folder');
  });
});

describe('signals', () => {
  // Says when the last of the handlers is there.
  const READY = `const on = process.on; process.on = function (name, ...rest) {
    const result = on.call(this, name, ...rest); if (name === 'SIGHUP') process.stderr.write('ready\\n'); return result; };`;
  // A program that does not notice the signal: nobody can listen to it.
  const DEAF = 'EventTarget.prototype.addEventListener = () => {};';

  function waiting(...preloads: string[]) {
    const options = { cwd, reject: false, stdin: 'pipe', timeout: 20_000 } as const;
    const child = execa(process.execPath, [...preloads.map(preload), CLI, 'list', '-'], options);
    let text = '';
    const said = (what: string) =>
      new Promise<void>((resolve) => {
        const look = (chunk = '') => {
          text += chunk;
          if (text.includes(what)) resolve();
        };
        look();
        child.stderr.on('data', look);
      });
    return { child, said };
  }

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s: stops what is waiting, with 130', async (signal) => {
    const { child, said } = waiting(READY);
    await said('ready');
    child.kill(signal);
    const { exitCode, stderr } = await child;
    expect(exitCode).toBe(130);
    expect(stderr).toContain('nested-check: stopping, and cleaning up');
    expect(stderr).toContain(`nested-check: interrupted by ${signal}`);
  });

  test('a second one leaves at once, and says what may remain', async () => {
    const { child, said } = waiting(READY, DEAF);
    await said('ready');
    child.kill('SIGINT');
    await said('cleaning up');
    child.kill('SIGINT');
    const { exitCode, stderr } = await child;
    expect(exitCode).toBe(130);
    expect(stderr).toMatch(/left at once\n {2}hint: .*`nested-check clean` finds them/);
  });
});

describe('what should not happen', () => {
  const BUG = preload('JSON.parse = () => { throw new TypeError("boom", { cause: new Error("below") }); };');

  test('a bug of ours ends with 3 and asks for a report', async () => {
    const { exitCode, stderr } = await execa(process.execPath, [BUG, CLI, 'list'], { cwd, reject: false });
    expect(exitCode).toBe(3);
    expect(stderr).toMatch(/^nested-check: internal error: boom\n {2}hint: .*report it.*--debug prints\.$/);
  });

  test('--debug shows its stack and what caused it', async () => {
    const { exitCode, stderr } = await execa(process.execPath, [BUG, CLI, 'list', '--debug'], { cwd, reject: false });
    expect(exitCode).toBe(3);
    expect(stderr).toMatch(/TypeError: boom\n +at /);
    expect(stderr).toContain('caused by: Error: below');
  });

  test('a working directory that is gone', async () => {
    const script = 'mkdir gone && cd gone && rmdir ../gone && exec "$0" "$1" list';
    const { exitCode, stderr } = await execa('sh', ['-c', script, process.execPath, CLI], { cwd, reject: false });
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/^nested-check: the working directory is gone\n {2}hint: /);
  });
});

/** Runs `code` in node before the program. */
function preload(code: string): string {
  return `--import=data:text/javascript,${encodeURIComponent(code)}`;
}
