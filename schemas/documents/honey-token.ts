/**
 * Honey tokens: credentials and paths that grant nothing and that nobody has a reason to use. If one appears, somebody has looked where
 * they should not, or uses what they found. Tested in honey-token.test.ts.
 */
import { z } from 'zod';

export const honeyKinds = ['aws', 'password', 'ssh', 'url', 'path', 'text'] as const;
export type HoneyKind = (typeof honeyKinds)[number];

export const MAX_HONEY_TOKENS = 1_000;

/** Shorter ones appear by chance. One line, so that a screen can show it; ASCII only, since other letters have several encodings. */
export const honeyText = z
  .string()
  .min(8)
  .max(512)
  .regex(/^[!-~](?:[ -~]*[!-~])?$/, 'is not one line of printable ASCII');

/** The form shown in findings and lists: enough to recognize the token, not enough to use it. */
export function maskedHoney(text: string): string {
  const shown = Math.min(4, Math.floor(text.length / 4));
  return `${text.slice(0, shown)}…${text.slice(-Math.min(2, shown))}`;
}
