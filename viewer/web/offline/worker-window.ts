/** The terminal's code refers to `window` while it loads, which a worker does not have. Import this module before it. */
Object.defineProperty(globalThis, 'window', { value: globalThis, configurable: true });
export {};
