// run.json: the report itself. Opened before anything boots, replaced whole after each case, so it is valid at any time.
import { rename, rm, writeFile } from 'node:fs/promises';
import { NestedCheckError } from '../errors.ts';
import type { Report } from './report.ts';

/** Writes the report to a file, in one step. Throws NestedCheckError `usage` when that can't be written. */
export async function writeJson(path: string, report: Report): Promise<void> {
  const half = `${path}.${process.pid}.tmp`;
  try {
    await writeFile(half, `${JSON.stringify(report, null, 2)}\n`, { mode: 0o600 });
    await rename(half, path);
  } catch (cause) {
    await rm(half, { force: true });
    throw new NestedCheckError(
      'usage',
      `--report json: can't write ${path}: ${cause instanceof Error ? cause.message : cause}`,
      {
        hint: 'does the folder exist, is it yours, and is there space?',
        cause,
      },
    );
  }
}
