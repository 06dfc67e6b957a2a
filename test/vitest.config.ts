// Three kinds of tests, cheapest first. Each group starts when the one before it has ended.
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { closingLine } from './closing-line.ts';

const MINUTE = 60_000;
const BUILD = fileURLToPath(new URL('build.ts', import.meta.url));

export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  test: {
    reporters: ['default', closingLine()],
    projects: [
      // Boot nothing, start no other program of ours.
      {
        extends: true,
        test: { name: 'unit', include: ['test/unit/**/*.test.ts'], sequence: { groupOrder: 0 } },
      },
      // The built program from the outside, without guests. One file at a time: some measure how long it takes.
      {
        extends: true,
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          globalSetup: BUILD,
          testTimeout: MINUTE / 2,
          hookTimeout: MINUTE / 2,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
      // Real guests. One file at a time: they need the machine to themselves.
      {
        extends: true,
        test: {
          name: 'guest',
          include: ['test/guest/**/*.test.ts'],
          globalSetup: BUILD,
          testTimeout: 15 * MINUTE,
          hookTimeout: 15 * MINUTE,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
