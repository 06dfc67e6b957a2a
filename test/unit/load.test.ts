import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { dir } from 'tmp';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { NestedCheckError } from '../../src/errors.ts';
import { bundledNames, loadScenarios, MAX_BYTES } from '../../src/scenario/load.ts';

const FIXTURES = fileURLToPath(new URL('../fixtures/scenarios/', import.meta.url));
const GOOD = 'name: good\ndescription: Nothing wrong with it\n';
const files = (await readdir(FIXTURES)).filter((file) => file.endsWith('.yaml'));

let cwd: string;
let removeFolder: () => void;
const load = (...names: string[]) => loadScenarios(names, { cwd, signal: new AbortController().signal });
const put = (file: string, content: string | Uint8Array) => writeFile(join(cwd, file), content);

beforeEach(async () => {
  [cwd, removeFolder] = await new Promise<[string, () => void]>((resolve, reject) =>
    dir({ unsafeCleanup: true }, (error, path, remove) => (error ? reject(error) : resolve([path, remove]))),
  );
});
afterEach(() => removeFolder());

/** Lines of the message of the error that loading ends with. */
async function problemsOf(loading: Promise<unknown>): Promise<string[]> {
  const error: unknown = await loading.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof NestedCheckError)) throw new Error('not a NestedCheckError', { cause: error });
  expect(error.code).toBe('input');
  expect(error.hint).not.toBeNull();
  const lines = error.message.split('\n');
  return lines.length > 1 ? lines.slice(1) : lines;
}

describe('what is wrong with a file', () => {
  test.each(files)('%s', async (file) => {
    const expected = await readFile(join(FIXTURES, file.replace('.yaml', '.problems')), 'utf8');
    const problems = await problemsOf(loadScenarios([file], { cwd: FIXTURES, signal: new AbortController().signal }));
    expect(problems).toEqual(
      expected
        .trimEnd()
        .split('\n')
        .map((line) => `${file}:${line}`),
    );
  });

  test('is told of all files at once, with the paths as they were given', async () => {
    await mkdir(join(cwd, 'folder'));
    await put('folder/a.yaml', `${GOOD}tag: x\n`);
    await put('folder/b.yml', 'name: b\n');
    expect(await problemsOf(load('./folder', `${cwd}/folder/../nowhere.yaml`))).toEqual([
      `${cwd}/folder/../nowhere.yaml: no such file or folder`,
      expect.stringContaining('folder/a.yaml:3:1 unknown key `tag`'),
      'folder/b.yml:1:1 `description` is missing',
    ]);
  });

  test('has no control characters when it is told', async () => {
    await put('a.yaml', 'name: "\\e[2J\\u202e"\n"\\x07": 1\ndescription: x');
    const [first, second] = await problemsOf(load('a.yaml'));
    expect(`${first}${second}`).not.toMatch(/\p{Cc}|\u202e/u);
  });

  test('a file that is too large, or never ends', async () => {
    await put('large.yaml', `${GOOD}#${'x'.repeat(MAX_BYTES)}`);
    expect(await problemsOf(load('large.yaml'))).toEqual(['large.yaml:1:1 larger than 128 KiB, so not a scenario']);
    expect(await problemsOf(load('/dev/zero'))).toEqual(['/dev/zero:1:1 larger than 128 KiB, so not a scenario']);
  });

  test.each([
    ['aliases', `a: &a 1\nb: [${'*a,'.repeat(40_000)}]`],
    ['brackets', '['.repeat(100_000)],
    ['closed brackets', `a: ${'['.repeat(5_000)}${']'.repeat(5_000)}`],
    ['keys', Array.from({ length: 10_000 }, (_, index) => `k${index}: 1`).join('\n')],
    ['one key', 'k: 1\n'.repeat(20_000)],
  ])('masses of %s are refused within seconds', async (_, text) => {
    await put('mass.yaml', text);
    expect((await problemsOf(load('mass.yaml'))).length).toBeLessThanOrEqual(101);
  });

  test('two scenarios of one name, naming both places', async () => {
    await put('a.yaml', GOOD);
    await put('b.yaml', `# first line\n${GOOD}`);
    expect(await problemsOf(load('b.yaml', 'a.yaml'))).toEqual(['a.yaml:1:7 name: good is taken by b.yaml:2:7']);
  });
});

describe('what an argument stands for', () => {
  test('a file, a folder, a bundled name; in this order, each file once', async () => {
    await mkdir(join(cwd, 'folder'));
    await put('good.yaml', GOOD);
    await put('folder/one.yaml', 'name: one\ndescription: x\n');
    await put('folder/readme.md', 'not a scenario');
    await symlink(join(cwd, 'good.yaml'), join(cwd, 'folder/same.yaml'));
    const loaded = await load('good.yaml', 'folder', 'quick', './good.yaml');
    expect(loaded.map(({ scenario }) => scenario.name)).toEqual(['good', 'one', 'quick']);
    expect(loaded[0]).toMatchObject({ file: 'good.yaml', line: 1, column: 7 });
    expect(loaded[1]).toMatchObject({ file: 'folder/one.yaml' });
  });

  test('nothing: the bundled scenarios tagged `default`', async () => {
    const loaded = await load();
    expect(loaded.map(({ scenario }) => scenario.name)).toEqual(['quick', 'openstack-on-openstack']);
  });

  test('each bundled scenario is in the file of its name', async () => {
    const names = await bundledNames();
    expect((await load(...names)).map(({ scenario }) => scenario.name)).toEqual(names);
  });

  test('-: standard input', async () => {
    const sources = { cwd, signal: new AbortController().signal };
    const loaded = await loadScenarios(['-'], { ...sources, stdin: Readable.from([Buffer.from(GOOD)]) });
    expect(loaded).toMatchObject([{ file: '<stdin>', scenario: { name: 'good' } }]);
    const broken = loadScenarios(['-'], { ...sources, stdin: Readable.from([Buffer.from('name: [')]) });
    expect((await problemsOf(broken))[0]).toMatch(/^<stdin>:1:8 not YAML: /);
  });

  test('nothing that there is', async () => {
    await mkdir(join(cwd, 'empty'));
    await put('file', '');
    await symlink('loop', join(cwd, 'loop'));
    expect(await problemsOf(load('nope.yaml', 'no/where', 'qiuck', 'zzzzzz', 'empty', 'file/x.yaml', 'loop'))).toEqual([
      'nope.yaml: no such file or folder',
      'no/where: no such file or folder',
      'qiuck: neither a file, a folder nor a bundled scenario; did you mean quick?',
      'zzzzzz: neither a file, a folder nor a bundled scenario',
      'empty: no *.yaml file in this folder',
      'file/x.yaml: is below something that is not a folder',
      'loop: is a chain of links without end',
    ]);
    const error = await load('qiuck').catch((reason: unknown) => reason);
    expect((error as NestedCheckError).hint).toContain('openstack-on-openstack, quick');
  });

  test('a file that can not be read', async () => {
    const [problem] = await problemsOf(load('/proc/self/mem'));
    expect(problem).toMatch(/^\/proc\/self\/mem: can't be read: EIO/);
  });

  test('waiting for standard input ends with the signal', async () => {
    const stop = new AbortController();
    const loading = loadScenarios(['-'], { cwd, signal: stop.signal, stdin: new Readable({ read() {} }) });
    const reason = new NestedCheckError('interrupted', 'interrupted');
    setTimeout(() => stop.abort(reason), 10);
    await expect(loading).rejects.toBe(reason);
  });
});

describe('any text', () => {
  const word = fc.constantFrom(
    ...['name', 'description', 'levels', 'cpu', 'mode', 'depth', 'at-least', 'try', 'expect', 'flags', 'timeouts'],
    ...['host-model', 'custom', '768 MiB', '90 s', '2', '-1', 'true', '~', '', '__proto__', 'constructor', '<<'],
    ...[
      '&a',
      '*a',
      '!!set',
      '!x',
      '|',
      '>',
      '#',
      '"',
      "'",
      '? ',
      '- ',
      ': ',
      '{',
      '}',
      '[',
      ']',
      ',',
      '%YAML 1.1',
      '\t',
    ],
  );
  const yamlish = fc
    .array(fc.tuple(fc.constantFrom('\n', '\n  ', '\n    - ', ' ', ': ', ', ', '\n---\n'), fc.oneof(word, fc.string())))
    .map((parts) => parts.flat().join(''));
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      word,
      fc.integer(),
      fc.constant(null),
      fc.boolean(),
      tie('map'),
      fc.array(tie('any')),
    ),
    map: fc.dictionary(word, tie('any')),
  })).map;

  test.each([
    ['pieces of YAML', yamlish],
    ['documents of the right words', value.map((each) => `name: fuzz\ndescription: x\n${JSON.stringify(each)}`)],
    [
      'values of the right words',
      value.map((each) => JSON.stringify({ name: 'fuzz', description: 'x', ...(each as object) })),
    ],
  ])('%s: a scenario or a NestedCheckError with places', async (_, texts) => {
    await fc.assert(
      fc.asyncProperty(texts, async (text) => {
        const stdin = Readable.from([Buffer.from(text)]);
        try {
          const loaded = await loadScenarios(['-'], { cwd, signal: new AbortController().signal, stdin });
          expect(loaded).toHaveLength(1);
        } catch (error) {
          if (!(error instanceof NestedCheckError)) throw error;
          const lines = error.message.split('\n').filter((line) => !/^\d+ problems|^and \d+ more/.test(line));
          for (const line of lines) expect(line).toMatch(/^<stdin>:[1-9]\d*:[1-9]\d* ./);
        }
      }),
      { numRuns: 500 },
    );
  });
});
