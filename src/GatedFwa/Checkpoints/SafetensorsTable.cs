using System.Collections;
using System.Runtime.InteropServices;
using System.Text;

namespace GatedFwa.Checkpoints;

/// <summary>
/// The entries of a safetensors header and its metadata, packed into the bytes in which the header itself was read: however many
/// tensors there are, they take no memory beyond that. Entries become objects when they are asked for.
/// </summary>
/// <remarks>
/// The bytes hold entries and metadata, then two lists of places of entries: in the order of their data and of their names.
/// There is room: an entry's keys and brackets in JSON are more than 40 bytes, of which packing needs 3.
/// </remarks>
internal sealed class SafetensorsTable : IReadOnlyList<SafetensorsEntry>
{
    private readonly byte[] _bytes;
    private readonly Range _metadata;
    private readonly int _lists;

    /// <param name="bytes">Entries, one after the other, with the metadata somewhere between; then room for the lists.</param>
    /// <param name="end">Where the entries end.</param>
    /// <param name="count">How many there are.</param>
    /// <param name="metadata">Where the metadata is: keys and values in turn.</param>
    /// <exception cref="FormatException">Two entries have the same name, or two values the same key.</exception>
    public SafetensorsTable(byte[] bytes, int end, int count, Range metadata)
    {
        (_bytes, _metadata, Count) = (bytes, metadata, count);
        _lists = (end + sizeof(int) - 1) / sizeof(int) * sizeof(int);
        CheckMetadata();
        FillLists();
        ByData.Sort((a, b) =>
        {
            PackedEntry left = At(a), right = At(b);
            int order = left.Start.CompareTo(right.Start);
            if (order == 0) order = left.End.CompareTo(right.End);
            return order == 0 ? a.CompareTo(b) : order; // Without data: as in the header.
        });
        Sort(ByName, "header");
    }

    public int Count { get; }

    /// <summary>Where the entries lie, in the order of their data.</summary>
    private Span<int> ByData => Places(_lists, Count);

    /// <summary>Where the entries lie, in the order of the bytes of their names.</summary>
    private Span<int> ByName => Places(_lists + (Count * sizeof(int)), Count);

    /// <summary>An entry, in the order of the data.</summary>
    public SafetensorsEntry this[int index] => At(ByData[index]).ToEntry();

    /// <summary>The entry of a name, or null.</summary>
    public SafetensorsEntry? Find(string name)
    {
        ReadOnlySpan<byte> wanted = Encoding.UTF8.GetBytes(name);
        ReadOnlySpan<int> places = ByName;
        int first = 0;
        for (int end = places.Length; first < end;)
        {
            int middle = (first + end) / 2;
            if (Text(places[middle]).SequenceCompareTo(wanted) < 0) first = middle + 1;
            else end = middle;
        }

        return first < places.Length && Text(places[first]).SequenceEqual(wanted) ? At(places[first]).ToEntry() : null;
    }

    /// <summary>The metadata, as a dictionary of its own.</summary>
    public Dictionary<string, string> ReadMetadata()
    {
        var metadata = new Dictionary<string, string>();
        ReadOnlySpan<byte> packed = _bytes.AsSpan(_metadata);
        for (int at = 0; at < packed.Length;)
        {
            string key = Encoding.UTF8.GetString(PackedBytes.Text(packed, ref at));
            metadata.Add(key, Encoding.UTF8.GetString(PackedBytes.Text(packed, ref at)));
        }

        return metadata;
    }

    /// <summary>Data must follow on data, from the end of the header to the end of the file, and be of the size its shape says.</summary>
    /// <param name="dataBytes">The bytes after the header.</param>
    /// <exception cref="FormatException">It does not.</exception>
    public void CheckLayout(long dataBytes)
    {
        long end = 0;
        foreach (int place in ByData)
        {
            PackedEntry entry = At(place);
            if (entry.End < entry.Start) throw Complaint(entry, $"ends at byte {entry.End} before its start at {entry.Start}");
            if (entry.End > dataBytes) throw Complaint(entry, $"ends at byte {entry.End} of {dataBytes}");
            if (entry.Start < end) throw Complaint(entry, "overlaps the one before it");
            if (entry.Start > end) throw Complaint(entry, $"begins after a hole of {entry.Start - end} bytes");
            if (!entry.HasItsBytes)
                throw Complaint(entry, $"of shape {entry.ToEntry().Shape} and type {entry.Type} cannot take {entry.End - entry.Start} bytes");
            end = entry.End;
        }

        if (end != dataBytes) throw new FormatException($"{dataBytes - end} bytes at its end belong to no tensor");
    }

    public IEnumerator<SafetensorsEntry> GetEnumerator()
    {
        for (int index = 0; index < Count; index++) yield return this[index];
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private static FormatException Complaint(PackedEntry entry, string about) => new($"its tensor {Phrase.Quote(entry.Name)} {about}");

    private void FillLists()
    {
        (int metadataStart, int metadataBytes) = _metadata.GetOffsetAndLength(_bytes.Length);
        int at = 0;
        foreach (ref int place in ByData)
        {
            if (at == metadataStart) at += metadataBytes;
            place = at;
            _ = new PackedEntry(_bytes, ref at);
        }

        ByData.CopyTo(ByName);
    }

    /// <summary>Refuses a key that is there twice. The list of keys takes the room of the lists that are made after it.</summary>
    private void CheckMetadata()
    {
        (int start, int length) = _metadata.GetOffsetAndLength(_bytes.Length);
        int pairs = 0;
        for (int at = start; at < start + length; pairs++)
        {
            // A pair's quotation marks, colon and comma are six bytes, of which packing leaves four: those of its place.
            Places(_lists + (pairs * sizeof(int)), 1)[0] = at;
            PackedBytes.Text(_bytes, ref at);
            PackedBytes.Text(_bytes, ref at);
        }

        Sort(Places(_lists, pairs), "metadata");
    }

    /// <summary>Sorts places of texts, all different.</summary>
    private void Sort(Span<int> places, string what)
    {
        places.Sort((a, b) => Text(a).SequenceCompareTo(Text(b)));
        for (int i = 1; i < places.Length; i++)
        {
            ReadOnlySpan<byte> text = Text(places[i]);
            if (text.SequenceEqual(Text(places[i - 1]))) throw new FormatException($"its {what} names {Phrase.Quote(text)} twice");
        }
    }

    private PackedEntry At(int place) => new(_bytes, ref place);

    private ReadOnlySpan<byte> Text(int place) => PackedBytes.Text(_bytes, ref place);

    private Span<int> Places(int start, int count) => MemoryMarshal.Cast<byte, int>(_bytes.AsSpan(start, count * sizeof(int)));
}
