"""Protome's stages behind other servers, under the same load as Protome."""
