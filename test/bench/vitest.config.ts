// Benchmarks: side by side in one run, printed as ratios. `npm run bench`; not part of `npm test`.
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const HOUR = 3_600_000;

export default defineConfig({
  root: fileURLToPath(new URL('../..', import.meta.url)),
  test: { include: ['test/bench/**/*.bench.ts'], testTimeout: HOUR, hookTimeout: HOUR, fileParallelism: false },
});
