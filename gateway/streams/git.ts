import type { Report, StreamObserver } from './observer.js';
export function observeGit(_p: string, _a: readonly string[], _r: Report): StreamObserver | null { return null; }
