// Ends a test run with one line that programs can read: `N passed, N failed`, and `, N skipped` where there were any.
import type { Reporter, TestModule } from 'vitest/node';

/** Counts over all projects. What broke outside of a test (a hook, a file that can't be loaded) counts as failed. */
export function closingLine(): Reporter {
  return {
    onTestRunEnd(modules, unhandledErrors) {
      const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
      for (const module of modules) count(module, counts);
      const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
      // Other reporters have not printed their summary yet.
      process.once('exit', () => process.stdout.write(`${counts.passed} passed, ${counts.failed} failed${skipped}\n`));
    },
  };
}

function count(module: TestModule, counts: { passed: number; failed: number; skipped: number }): void {
  counts.failed += module.errors().length;
  for (const suite of module.children.allSuites()) counts.failed += suite.errors().length;
  for (const test of module.children.allTests()) {
    const { state } = test.result();
    // `pending` is what a run leaves that was stopped in the middle.
    if (state === 'pending') counts.skipped++;
    else counts[state]++;
  }
}
