import type { Report, StreamObserver } from './observer.js';
export function observeRsync(_a: readonly string[], _r: Report): StreamObserver | null { return null; }
