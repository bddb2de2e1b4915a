import { readFileSync } from 'node:fs';

/** The version in package.json: found from `dist/cli/` as from `cli/`. */
export const version: string = ((): string => {
  for (const up of ['../../', '../../../']) {
    try {
      const manifest = JSON.parse(readFileSync(new URL(`${up}package.json`, import.meta.url), 'utf8')) as {
        name?: string;
        version?: string;
      };
      if (manifest.name === 'steno' && typeof manifest.version === 'string') return manifest.version;
    } catch {
      // The other place, then.
    }
  }
  return '0.0.0';
})();
