import { readFileSync } from 'node:fs';

/** package.json, found from `dist/cli/machine/` as from `cli/machine/`. */
const manifest = ((): { readonly name: string; readonly version: string } => {
  for (const up of ['../../', '../../../']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(`${up}package.json`, import.meta.url), 'utf8')) as {
        name?: string;
        version?: string;
      };
      if ((name === 'steno' || name === 'steno-client') && typeof version === 'string') return { name, version };
    } catch {
      // The other place, then.
    }
  }
  return { name: 'steno', version: '0.0.0' };
})();

export const { version } = manifest;

/** True for the package of the command line alone (deploy/package/make.mjs), which has no services. */
export const isClient: boolean = manifest.name === 'steno-client';
