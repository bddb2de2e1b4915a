/** `npm run eval [-- masquerade] …`: how well rules detect attacks (run.ts), or how well methods recognize another person's commands (../masquerade/run.ts). */
if (process.argv[2] === 'masquerade') await import('../masquerade/run.js');
else await import('./run.js');

export {};
