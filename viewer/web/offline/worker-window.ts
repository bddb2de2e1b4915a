/** The terminal's code asks for `window` while it loads, which a worker does not have. Imported before it. */
Object.defineProperty(globalThis, 'window', { value: globalThis, configurable: true });
export {};
