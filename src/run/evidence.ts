// The run folder: what a bug report needs, per case and level, written as it is found.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface Evidence {
  readonly folder: string;
  /** A case's folder, relative to the run folder. */
  relative(caseId: string): string;
  /** Writes what is not null, each as a file of the level's folder. */
  level(caseId: string, level: number, files: Readonly<Record<string, string | null>>): Promise<void>;
}

/** Evidence below `folder`, which exists. */
export function evidenceIn(folder: string): Evidence {
  const relative = (caseId: string): string => join('cases', caseId.replace(/[^A-Za-z0-9._-]+/g, '-'));
  return {
    folder,
    relative,
    async level(caseId, level, files) {
      const target = join(folder, relative(caseId), `L${level}`);
      await mkdir(target, { recursive: true, mode: 0o700 });
      for (const [name, text] of Object.entries(files)) {
        if (text !== null) await writeFile(join(target, name), text, { mode: 0o600 });
      }
    },
  };
}
