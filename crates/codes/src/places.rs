//! Places: counties, municipalities, postcodes (being filled).
