// This import must be first: it requests the data that the page will show.
import './parts/opening.js';
import { StrictMode } from 'react';
import { QueryClientProvider } from '@tanstack/react-query';
import { createRoot } from 'react-dom/client';
import 'asciinema-player/dist/bundle/asciinema-player.css';
import './app/style.css';
import './login/login.css';
import { App } from './app/app.js';
import { queries } from './parts/use-json.js';

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <App />
    </QueryClientProvider>
  </StrictMode>,
);
