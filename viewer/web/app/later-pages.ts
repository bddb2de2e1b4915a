/** Pages that are loaded on first visit. */
import { lazy } from 'react';

export const SqlPage = lazy(async () => ({ default: (await import('../sql/sql.js')).SqlPage }));

export const ComparePage = lazy(async () => ({ default: (await import('../compare/compare.js')).ComparePage }));

export const PatternsPage = lazy(async () => ({ default: (await import('../patterns/patterns.js')).PatternsPage }));
