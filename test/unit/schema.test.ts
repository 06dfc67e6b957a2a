import { describe, expect, test } from 'vitest';
import { nearest } from '../../src/scenario/nearest.ts';
import { parseScenario } from '../../src/scenario/parse.ts';
import { Scenario } from '../../src/scenario/schema.ts';

const parse = (rest: object) => Scenario.parse({ name: 'a', description: 'A', ...rest });

describe('a scenario', () => {
  test('needs only a name and a description', () => {
    expect(parse({})).toEqual({
      name: 'a',
      description: 'A',
      tags: [],
      image: 'debian-12',
      levels: [{}],
      timeouts: {},
    });
  });

  test('writes memory and times with units, and gives MiB and seconds', () => {
    const { levels, timeouts } = parse({
      levels: [{ memory: '2 GiB' }, { memory: '768MiB' }],
      timeouts: { boot: '90 s', case: '5min' },
    });
    expect(levels.map(({ memory }) => memory)).toEqual([2048, 768]);
    expect(timeouts).toEqual({ boot: 90, case: 300 });
  });

  test('has a depth in one number or two', () => {
    expect(parse({ depth: 3 }).depth).toEqual({ 'at-least': 3, try: 3 });
    expect(parse({ depth: { 'at-least': 2, try: 4 } }).depth).toEqual({ 'at-least': 2, try: 4 });
  });

  test('has a cpu in a word or in a mapping', () => {
    const features = { svm: 'require' };
    expect(parse({ levels: [{ cpu: 'none' }, { cpu: { mode: 'custom', model: 'EPYC', features } }] }).levels).toEqual([
      { cpu: { mode: 'none' } },
      { cpu: { mode: 'custom', model: 'EPYC', features } },
    ]);
  });

  test('takes aliases for what is said twice', () => {
    const parsed = parseScenario(
      'name: a\ndescription: A\nlevels:\n  - &compute {cpu: host-model}\n  - *compute\n  - vcpus: 2\n',
    );
    expect(parsed).toMatchObject({
      kind: 'scenario',
      scenario: { levels: [{ cpu: { mode: 'host-model' } }, { cpu: { mode: 'host-model' } }, { vcpus: 2 }] },
    });
  });

  test('takes Windows line ends and a byte order mark', () => {
    expect(parseScenario('\ufeff# hello\r\nname: a\r\ndescription: A\r\n')).toMatchObject({
      kind: 'scenario',
      position: { line: 2, column: 7 },
    });
  });
});

describe('nearest', () => {
  const choices = ['host-passthrough', 'host-model', 'custom', 'none'];
  test.each([
    ['host-passtrough', 'host-passthrough'],
    ['hots-model', 'host-model'],
    ['HOST-MODEL', 'host-model'],
    ['costum', 'custom'],
    ['non', 'none'],
    ['', null],
    ['maximum', null],
    ['x'.repeat(100_000), null],
  ])('%.20s', (word, meant) => {
    expect(nearest(word, choices)).toBe(meant);
  });
});
