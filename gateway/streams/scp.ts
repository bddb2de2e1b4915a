import type { Report, StreamObserver } from './observer.js';
export function observeScp(_a: readonly string[], _r: Report): StreamObserver | null { return null; }
