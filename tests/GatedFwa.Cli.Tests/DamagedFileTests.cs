using System.Buffers.Binary;
using System.Text;

namespace GatedFwa.Cli.Tests;

/// <summary>Files that are not what they should be, through every command that reads one.</summary>
public sealed class DamagedFileTests : CommandTest
{
    public static TheoryData<string, string> Cases()
    {
        var cases = new TheoryData<string, string>();
        foreach (string command in (string[])["info", "attend"])
        {
            foreach (string damage in Damages.Keys) cases.Add(command, damage);
        }

        return cases;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_damaged_file_is_one_sentence(string command, string damage)
    {
        System.IO.File.WriteAllBytes(InFolder("damaged.safetensors"), Damages[damage]());

        string[] arguments = command == "attend" ? ["attend", "damaged.safetensors", "out.safetensors"] : [command, "damaged.safetensors"];
        RefusedWithOneSentence(Run(arguments), "damaged.safetensors");
        Assert.False(System.IO.File.Exists(InFolder("out.safetensors")));
    }

    private static Dictionary<string, Func<byte[]>> Damages { get; } = new()
    {
        ["empty"] = () => [],
        ["binary"] = () => [.. Enumerable.Range(0, 4096).Select(i => (byte)(i * 167 ^ i >> 3))],
        ["text"] = () => Encoding.UTF8.GetBytes("This is not a tensor at all.\n"),
        ["truncated"] = () => Valid()[..^10],
        ["truncated in the header"] = () => Valid()[..20],
        ["oversized header"] = () =>
        {
            byte[] file = Valid();
            BinaryPrimitives.WriteInt64LittleEndian(file, long.MaxValue);
            return file;
        },
        ["overlapping offsets"] = () => File("""{"q":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"k":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}}""", 24),
        ["offsets beyond the end"] = () => File("""{"q":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}""", 8),
        ["a shape of another size"] = () => File("""{"q":{"dtype":"F32","shape":[1073741824,1073741824,1073741824],"data_offsets":[0,16]}}""", 16),
        ["a flipped bit in the header"] = () =>
        {
            byte[] file = Valid();
            file[9] ^= 0x40;
            return file;
        },
    };

    private static byte[] Valid() =>
        System.IO.File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Golden", "attention_basic.safetensors"));

    private static byte[] File(string header, int dataBytes)
    {
        byte[] text = Encoding.UTF8.GetBytes(header);
        var length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, text.Length);
        return [.. length, .. text, .. new byte[dataBytes]];
    }
}
