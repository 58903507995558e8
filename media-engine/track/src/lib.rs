//! Track files and what is rendered from them: timeline, WAV, pcapng.
