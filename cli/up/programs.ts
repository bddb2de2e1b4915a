/** Paths of the stages' programs. */
import { fileURLToPath } from 'node:url';

const path = (module: string): string => fileURLToPath(new URL(module, import.meta.url));

export const programs = {
  authority: path('../../authority/main.js'),
  gateway: path('../../gateway/main.js'),
  agent: path('../../agent/main.js'),
  store: path('./store-process.js'),
} as const;
export type StageName = keyof typeof programs;
