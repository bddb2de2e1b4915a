import { fileURLToPath } from 'node:url';

/** The folder of the built page, seen from `dist/`. */
export const webRoot = fileURLToPath(new URL('../../web/', import.meta.url));
