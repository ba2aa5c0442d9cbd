import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// What is built is embedded by crates/console: see its build.rs. Nothing is inlined, since the pages forbid it.
export default defineConfig({
  plugins: [react()],
  build: {
    outDir: 'dist/site',
    emptyOutDir: true,
    target: 'es2023',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});
