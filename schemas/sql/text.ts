/** The text of a query in requests. */
import { z } from 'zod';
import { MAX_SQL } from './bounds.js';

export const sqlText = z
  .string()
  .min(1)
  .max(MAX_SQL)
  .refine((text) => text.trim() !== '', 'is blank');
