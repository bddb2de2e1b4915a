/** `npm run eval [-- masquerade] …`: how well rules detect (run.ts), or how well another person's commands are told (../masquerade/run.ts). */
if (process.argv[2] === 'masquerade') await import('../masquerade/run.js');
else await import('./run.js');

export {};
