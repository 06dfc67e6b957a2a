import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { plan } from '../../src/scenario/plan.ts';
import { Scenario } from '../../src/scenario/schema.ts';

const scenario = (rest: object) => Scenario.parse({ name: 'a', description: 'A', ...rest });
const one = (rest: object, options = {}) => {
  const [first, ...more] = plan([scenario(rest)], options);
  if (first === undefined || more.length > 0) throw new Error('not one case');
  return first;
};

describe('plan', () => {
  test('decides everything by itself where nothing is said', () => {
    expect(one({})).toEqual({
      id: 'a',
      scenario: 'a',
      variant: {},
      image: 'debian-12',
      depth: { atLeast: 1, try: 1 },
      levels: [
        {
          level: 1,
          cpu: { mode: 'host-passthrough' },
          vcpus: 1,
          memoryMiB: 320,
          machine: 'q35',
          isHost: false,
          required: true,
          expect: {},
        },
      ],
      timeouts: { boot: null, probe: null, case: null },
    });
  });

  test('has one level for each entry; the last entry repeats down to the depth', () => {
    expect(one({ levels: [{ vcpus: 2 }, {}] }).levels.map(({ vcpus }) => vcpus)).toEqual([2, 1]);
    const { levels } = one({ depth: 4, levels: [{}, { cpu: 'maximum' }] });
    expect(levels.map(({ cpu }) => cpu.mode)).toEqual(['host-passthrough', 'maximum', 'maximum', 'maximum']);
  });

  test('requires no more than depth.at-least, and gives no libvirt to the deepest level', () => {
    const { levels } = one({ depth: { 'at-least': 2, try: 4 } });
    expect(levels.map(({ required }) => required)).toEqual([true, true, false, false]);
    expect(levels.map(({ isHost }) => isHost)).toEqual([true, true, true, false]);
  });

  test('has as many vCPUs as the topology has places', () => {
    const cpu = { mode: 'host-model', topology: { sockets: 2, dies: 2, cores: 3, threads: 2 } };
    expect(one({ levels: [{ cpu }] }).levels[0]?.vcpus).toBe(24);
  });

  test('keeps the memory that is asked for, but not for a level and the level in it', () => {
    const memoryOf = (rest: object) => one(rest).levels.map(({ memoryMiB }) => memoryMiB);
    expect(memoryOf({ levels: [{ memory: '1 GiB' }, { memory: '1000 MiB' }] })).toEqual([1024, 1000]);
    expect(memoryOf({ depth: 3, levels: [{ memory: '1 GiB' }] })).toEqual([2560, 1792, 1024]);
    expect(memoryOf({ depth: 2, levels: [{ memory: '8 GiB' }, { memory: '512 MiB' }] })).toEqual([8192, 512]);
  });

  test('takes what the command line says over the scenario', () => {
    const given = { depth: { 'at-least': 2, try: 4 }, image: 'debian-13', timeouts: { case: '5 min', boot: '9 s' } };
    const { depth, levels, image, timeouts } = one(given, { depth: 1, image: 'mine', timeout: 7 });
    expect(depth).toEqual({ atLeast: 1, try: 1 });
    expect(levels).toHaveLength(1);
    expect(levels[0]).toMatchObject({ isHost: false, required: true });
    expect(image).toBe('mine');
    expect(timeouts).toEqual({ boot: 9, probe: null, case: 7 });
  });

  test('--only keeps the cases whose name contains it', () => {
    const scenarios = [scenario({ name: 'quick' }), scenario({ name: 'slow' })];
    expect(plan(scenarios, { only: 'ui' }).map(({ id }) => id)).toEqual(['quick']);
    expect(plan(scenarios, { only: 'none' })).toEqual([]);
  });

  test('any depth: levels count up, each fits into the one around it', () => {
    const depths = fc.record({ 'at-least': fc.integer({ min: 1, max: 16 }), more: fc.nat(15) });
    fc.assert(
      fc.property(depths, ({ 'at-least': least, more }) => {
        const deepest = Math.min(16, least + more);
        const { levels } = one({ depth: { 'at-least': least, try: deepest } });
        expect(levels.map(({ level }) => level)).toEqual(Array.from({ length: deepest }, (_, index) => index + 1));
        for (const [index, inner] of levels.entries()) {
          const outer = levels[index - 1];
          if (outer !== undefined) expect(outer.memoryMiB).toBeGreaterThan(inner.memoryMiB);
        }
      }),
    );
  });
});
