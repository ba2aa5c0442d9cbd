import '@patternfly/react-core/dist/styles/base.css';
import '@patternfly/react-styles/css/components/Title/title.css';
import './styles.css';

import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './app';

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
